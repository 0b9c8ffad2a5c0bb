"""What tests ask of a controller: to die at a given step, or to be wrong in a given way."""
