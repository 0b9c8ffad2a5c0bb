"""The soak (`qslice test --long`): a loaded network for half an hour, in which processes may hardly grow (`growth`)."""
