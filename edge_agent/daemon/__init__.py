"""The running agent: what is put together from the other packages, and kept alive."""
