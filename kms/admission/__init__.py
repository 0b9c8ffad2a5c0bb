"""Who may have how many keys: reservations of key rate (ETSI GS QKD 015), quotas, limits on requests."""
