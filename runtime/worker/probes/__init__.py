"""What a device measures after a serial run: how fast its core is, and how fast it reads what another one wrote."""
