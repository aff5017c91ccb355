"""What a device is and can do: the profile, and the probe that fills it by measuring."""
