"""What stands between the orchestrator and a switch in the papers: a controller layer, and a device for each site.

Processes of their own, started where slices are provisioned one step after the other (paper 001, section 2.2, Fig. 8).
"""
