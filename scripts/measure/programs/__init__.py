"""Programs of others run in the hosts: ping and iperf3."""
