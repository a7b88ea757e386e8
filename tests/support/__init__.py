"""What several test rooms share: finding tools, running rbuild. Small honest pieces, no mocks."""
