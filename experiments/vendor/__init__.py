"""What vendors' engines, brought by plugins, take and refuse, and 8-bit twins of networks for them."""
