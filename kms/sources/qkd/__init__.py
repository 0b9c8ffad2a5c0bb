"""QKD sections: decoy-state BB84 simulated from photons to secret bits, rate models, and attacks on the line."""
