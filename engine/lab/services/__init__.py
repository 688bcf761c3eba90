"""The engine under test and the processors, as the laboratory talks to them: one client for each, JSON over HTTP."""
