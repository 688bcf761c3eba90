"""Deterministic simulation testing: the code that decides, under a seeded clock, network, memory and bad luck.

A seed is a world: API processes, a dispatcher, two processors, customers. Rings, books, dispatcher and router are the
product's own; real sockets, threads, time and chance are not there. Everything that happens follows from the seed, so
that a failure is a number that anyone can run again.
"""
