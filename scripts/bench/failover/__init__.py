"""What failures cost, by protection class, with a spanning tree beside them."""
