"""``bench scale``: what a network costs by its number of sites."""
