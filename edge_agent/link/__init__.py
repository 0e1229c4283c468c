"""The cloud link: the MQTT session for control messages, and bounded, resumable downloads."""
