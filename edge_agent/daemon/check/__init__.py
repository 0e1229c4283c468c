"""What `edge-agent check` looks at: one file for each part of a device."""
