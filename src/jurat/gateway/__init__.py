"""Floor 5: the door to models. Plain ASGI; every answer was allowed, checked and made durable before it left.

`flow`      one prediction, step by step: begin reading here
`arms`      which of two versions answers, while a rollout runs · `shadow` a version that is asked beside
`checks`    the guardrails, each a function that reports what it did
`records`   the events of a prediction, and how long their receipts may take
`v2`        bodies of the Open Inference Protocol
`upstream`  our own pooled client to model servers
`app`       routes and problems
`__main__`  the process: `python -m jurat.gateway <workspace>`
`mlflow_guard`    the guard before an MLflow server: passes everything, holds what touches production
`mlflow_acts`     what a request would do there · `mlflow_upstream` that server, asked and handed what is passed on
`mlflow_serve`    the guard as a process of its own
"""
