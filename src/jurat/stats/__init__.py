"""Floor 1: numbers that say how sure they are. Pure; numpy only; knows nothing of models, gates or files.

`intervals`   Wilson's interval of one rate, Newcombe's of a difference of two
`fairness`    demographic parity and equalized odds differences, with intervals and a third verdict
`performance` accuracy and percentiles, with intervals
"""
