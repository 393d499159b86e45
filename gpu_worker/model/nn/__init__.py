"""Parts of the network that both ways of computing share: layers, products, tokens, the decoder interface."""
