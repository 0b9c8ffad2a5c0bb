"""What reports share: the look of the page, and the network as SVG."""
