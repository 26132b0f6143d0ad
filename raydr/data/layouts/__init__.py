"""Dataset layouts: what each public dataset looks like when unpacked, one file a layout."""
