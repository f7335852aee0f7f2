"""Floor 5½: the story that `jurat demo` plays, on real data and with real models.

`dataset`  German credit, and the one split of it
`train`    the two candidates
`scoring`  a scoring server in its own process, Open Inference Protocol V2
"""
