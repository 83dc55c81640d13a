"""The most requests per second: a mixture of plans whose loads on devices, channel, memory and host fit."""
