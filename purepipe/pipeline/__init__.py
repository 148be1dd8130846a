"""Running a survey: steps, plan, store, executors."""
