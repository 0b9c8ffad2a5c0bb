"""Certificates (RFC 5280): the authority, its revocations, and who a KME is to the others."""
