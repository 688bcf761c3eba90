"""Commands that call an engine over HTTP, as its users do: pay, and how it is."""
