"""Cells and their store in virtual time: whatever is slow, cut off, stopped or dead, each payment is charged once.

*Warning*: a cell here is the product's deciding code (:mod:`engine.cluster`) with a small model of the dispatcher
around it (:mod:`engine.lab.dst.cells.dispatching`). It is not yet the dispatcher's own pass.
"""
