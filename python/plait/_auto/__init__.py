"""The backend that chooses: measure the first calls, decide, go on measuring.

`run` is a map of this kind and `executor` an executor: `probe` the measured calls of a map, `sending` what it
costs to send them, `deciding` the questions to the chooser in Rust, `segments` the stretches of a map that
run on one backend each, `inputs` what they read from, `results` what they hand out, `crew` the threads;
`apart` says what keeps calls from sub-interpreters, and `interpreted` is their stretches;
`plan` is one function of an executor, `tied` its calls that wait.
"""
