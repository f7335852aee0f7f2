"""Floor 5½: the story that `jurat demo` plays, on real data and with real models.

`story`    the chapters, in order: begin here
`played`   what the story leaves behind, and to whom it is told
`cast`     the people, their roles and tokens
`dataset`  German credit, and the one split of it
`train`    the two candidates
`lineage`  what is registered: data sheets, six artefacts, a real commit
`scoring`  a scoring server in its own process, Open Inference Protocol V2
`traffic`  that process, and the bank's software that asks for predictions
`cheat`    the attacker; `finale` the chapters in which he comes, is found, and is undone
`data/`    the data with its attribution, and the gate file
"""
