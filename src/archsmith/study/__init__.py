"""A study: a search with its history, in Optuna's words (Akiba et al. 2019, arXiv 1907.10902).

study = create_study(study_name="notes", storage="studies.db", space=space, strategy=strategy,
                     objectives=["bits_per_byte"], limits=["file_bytes <= 16MiB"],
                     static_metrics=cost_models, rungs=rungs, load_if_exists=True)
study.optimize(evaluator, n_trials=100, n_jobs=2)
study.best_trials[0].architecture
"""

from archsmith.study.creation import create_study, load_study
from archsmith.study.study import Study

__all__ = ["Study", "create_study", "load_study"]
