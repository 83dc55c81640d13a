"""What is known of this machine: its cores, its fingerprint, what disturbs measurements, how calibrations differ."""
