"""Pictures of what a model holds: data in, PNG or SVG out. No terminal here; that is `tx.cli.plot`."""
