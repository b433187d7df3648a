//! What is folded, one way after the other, and that no text makes it panic.
