"""What is believed of links and connections, from carrier, BFD (RFC 5880) and the tunnels' probes."""
