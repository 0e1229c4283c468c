"""Fuzzing of everything that reads bytes: any bytes give a value or a MessageError, soon."""
