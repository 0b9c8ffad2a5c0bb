"""Between the model and extensions: the network and requests as frozen values, and answers held against both. Pure."""
