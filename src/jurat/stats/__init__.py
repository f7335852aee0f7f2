"""Floor 1: numbers that say how sure they are. Pure; numpy only; knows nothing of models, gates or files.

`intervals`   Wilson's interval of one rate, Newcombe's of a difference of two
`fairness`    demographic parity and equalized odds differences, with intervals and a third verdict
`calibration` how far probabilities are from what came true, in each group
`consistency` do similar people get the same answer
`fairness_report` all of it, by each protected column and each pair of them
`shapley`     what each input contributed to one answer · `counterfactual` the nearest change that changes it
`performance` accuracy, area under the curve and percentiles, with intervals
"""
