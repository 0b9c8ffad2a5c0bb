"""The SDN controller: slices from request to removal, on Ryu."""
