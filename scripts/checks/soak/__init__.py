"""The soak (`qslice test --long`): a loaded network for half an hour, in which no process may grow."""
