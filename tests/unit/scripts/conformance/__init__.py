"""The conformance suite of extensions, and the comparison with the builtin."""
