"""A site's cards: each seals its end of a wavelength, all circuits under one key. One process, its shelf, has them."""
