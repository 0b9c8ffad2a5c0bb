"""The operations by what they are about. Each module declares its operations and answers them."""
