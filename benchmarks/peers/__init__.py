"""Other inference servers, to be measured beside ours; nothing of ours needs them."""
