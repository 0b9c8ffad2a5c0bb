"""From a neutral graph to a topology's document and to slice requests, by rules; what was assumed is told. Pure."""
