"""Every mistake in settings is one line that names the file, the key, what is wrong and what is allowed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raydr.config.explain import dotted
from raydr.config.jobs import JOBS, PredictSettings, RunSettings
from raydr.config.load import check, load, load_any
from raydr.config.space import SAME_FOR_ALL
from raydr.errors import SettingsError

RUN = """\
job = "run"
out = "runs/x"
[index.sources.main]
layout = "eyepacs"
images = "photographs"
labels = "labels.csv"
[search.space]
"distillation.temperature" = { kind = "loguniform", low = 1.0, high = 8.0 }
"""

Errors = Callable[..., list[str]]

NOTHING_LEARNED = (
    "soft_weight, hard_weight, sharpened_weight, decoupled_weight, standardised_weight, consistency_weight, "
    "feature_weight and label_weight are all 0; one must be above 0"
)


@pytest.fixture
def errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Errors:
    """The error lines of a job file with some text exchanged, some added, an overlay and overrides; [] where valid."""
    monkeypatch.chdir(tmp_path)

    def lines(
        added: str = "",
        *,
        without: str = "",
        by: str = "",
        overlay: str = "",
        overrides: dict[str, Any] | None = None,
        verb: str = "run",
    ) -> list[str]:
        assert without in RUN
        Path("job.toml").write_text(RUN.replace(without, by) + added if without else RUN + added)
        files = [Path("job.toml")]
        if overlay:
            Path("site.toml").write_text(overlay)
            files.append(Path("site.toml"))
        try:
            load(verb, files, overrides=overrides)
        except SettingsError as error:
            return list(error.lines)
        return []

    return lines


def test_the_smallest_run_file_is_valid(errors: Errors) -> None:
    assert errors() == []


def test_an_unknown_key_is_named_with_the_nearest_and_all_allowed_ones(errors: Errors) -> None:
    (line,) = errors("[pretrain.optim]\nlearning_rat = 1.0")
    assert line == (
        "job.toml: pretrain.optim.learning_rat: no such key; did you mean learning_rate?; allowed: name, "
        "learning_rate, scale_learning_rate, weight_decay, epochs, warmup_fraction, batch_size, "
        "images_at_once, gradient_clip, ema_decay, precision"
    )


def test_a_far_off_key_lists_what_is_allowed(errors: Errors) -> None:
    (line,) = errors("[index.splits]\nzzz = 1")
    allowed = "kind, val_fraction, test_fraction, folds, fold, seed"
    assert line == f"job.toml: index.splits.zzz: no such key; allowed: {allowed}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[pretrain.optim]\nlearning_rate = 'x'", "pretrain.optim.learning_rate: must be a number (got 'x')"),
        ("[pretrain.optim]\nlearning_rate = '1e-3'", "pretrain.optim.learning_rate: must be a number (got '1e-3')"),
        ("[pretrain.optim]\nlearning_rate = inf", "pretrain.optim.learning_rate: must be a finite number (got inf)"),
        ("[pretrain.optim]\nepochs = 1.5", "pretrain.optim.epochs: must be a whole number (got 1.5)"),
        ("[pretrain.optim]\nepochs = true", "pretrain.optim.epochs: must be a whole number (got true)"),
        ("[pretrain]\noptim = 3", "pretrain.optim: must be a table, [...] with keys (got 3)"),
        ("[tracking]\nenabled = 'yes'", "tracking.enabled: must be true or false (got 'yes')"),
        (
            "[cluster]\ndecode_label = 'cpu'",
            "cluster.decode_label: must be a key and a value, as 'tier=cpu' (got 'cpu')",
        ),
        ("[tracking]\nexperiment = 7", "tracking.experiment: must be text in quotes (got 7)"),
        ("[evaluate]\ndatasets = 'main'", "evaluate.datasets: must be a list, [...] (got 'main')"),
        ("[evaluate]\ndatasets = ['main', 3]", "evaluate.datasets.1: must be text in quotes (got 3)"),
        ("[pretrain.optim]\nepochs = 0", "pretrain.optim.epochs: must be above 0 (got 0)"),
        ("[pretrain.optim]\nbatch_size = 1", "pretrain.optim.batch_size: must be at least 2 (got 1)"),
        ("[pretrain.optim]\nwarmup_fraction = 1.5", "pretrain.optim.warmup_fraction: must be at most 1 (got 1.5)"),
        ("[finetune.model]\ndrop_rate = 1.0", "finetune.model.drop_rate: must be below 1 (got 1.0)"),
        (
            "[pretrain.optim]\nname = 'adam'",
            "pretrain.optim.name: must be one of 'adamw', 'sgd' or 'lars' (got 'adam')",
        ),
        (
            "[preprocess]\nenhance = 'sharpen'",
            "preprocess.enhance: must be one of 'none', 'equalize', 'clahe' or 'graham' (got 'sharpen')",
        ),
        (
            "[distill.distillation]\nteacher_views = 3",
            "distill.distillation.teacher_views: must be one of 1, 2, 4 or 8 (got 3)",
        ),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_says_what_is_allowed(errors: Errors, text: str, line: str) -> None:
    assert errors(text) == [f"job.toml: {line}"]


def test_keys_inside_named_and_nullable_tables_are_given_in_full(errors: Errors) -> None:
    assert errors(without='labels = "labels.csv"\n') == ["job.toml: index.sources.main.labels: is required and missing"]
    csv = 'layout = "csv"\ncolumns.'
    assert errors(without='layout = "eyepacs"', by=f"{csv}patient = 3") == [
        "job.toml: index.sources.main.columns.patient: must be text in quotes (got 3)"
    ]
    (line,) = errors(without='layout = "eyepacs"', by=f"{csv}pat = 'a'")
    assert line.startswith("job.toml: index.sources.main.columns.pat: no such key; did you mean patient?")
    assert errors("[prepare]\njpeg_quality = 101") == [
        "job.toml: prepare.jpeg_quality: must be at most 100 (got 101)",
    ]


def test_a_missing_key_is_not_taken_for_an_alternative_of_the_same_name(errors: Errors) -> None:
    """`images` is missing while another key has the value "images"."""
    lines = errors(without='images = "photographs"\nlabels = "labels.csv"', by='labels = "images"')
    assert lines == ["job.toml: index.sources.main.images: is required and missing"]


def test_every_bad_key_gets_its_line(errors: Errors) -> None:
    lines = errors("[pretrain.optim]\nepochs = 0\nzzz = 1\n[tracking]\nenabled = 1", without='out = "runs/x"\n')
    assert [line.split(": ")[1] for line in lines] == [
        "out",
        "tracking.enabled",
        "pretrain.optim.epochs",
        "pretrain.optim.zzz",
    ]
    assert lines[0] == "job.toml: out: is required and missing"


def test_a_line_names_the_file_that_has_the_bad_value(errors: Errors) -> None:
    assert errors("[cluster]\nnum_workers = 4", overlay="[cluster]\nnum_workers = 0") == [
        "site.toml: cluster.num_workers: must be above 0 (got 0)"
    ]
    assert errors("[cluster]\nnum_workers = 0", overlay="[tracking]\nexperiment = 'x'") == [
        "job.toml: cluster.num_workers: must be above 0 (got 0)"
    ]
    assert errors(without='out = "runs/x"\n', overlay="[cluster]\nnum_workers = 2", overrides={"seed": 3}) == [
        "job.toml: out: is required and missing"
    ]


def test_an_override_of_an_unknown_key_or_a_bad_value_is_told_as_such(errors: Errors) -> None:
    (line,) = errors(overrides={"cluster.num_worker": 2})
    assert line.startswith("command line: cluster.num_worker: no such key; did you mean num_workers?")
    assert errors(overrides={"seed": "x"}) == ["command line: seed: must be a whole number (got 'x')"]
    assert errors(overrides={"out.x": 1}) == ["command line: out.x: out is a value, not a table"]
    (line,) = errors(overrides={"a..b": 1})
    assert line.startswith("command line: 'a..b' is no dotted key")


def test_the_file_of_another_verb_fails_by_name(errors: Errors) -> None:
    assert errors(verb="index", overlay="[cluster]\nnum_workers = 2") == [
        "job.toml: job: is 'run', but this is `raydr index`; write job = \"index\""
    ]
    assert errors(without='job = "run"\n') == [
        'job.toml: job: is required and missing, but this is `raydr run`; write job = "run"'
    ]


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read: No such file"):
        load("run", [tmp_path / "none.toml"])
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load("run", [tmp_path])
    for content in (b"x = \n", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(SettingsError, match=r"bad\.toml: not valid TOML: "):
            load("run", [tmp_path / "bad.toml"])


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            '"distillation.temprature" = { kind = "uniform", low = 1.0, high = 2.0 }',
            '"distillation.temprature": no such key; did you mean temperature?; allowed: targets, temperature, '
            "soft_weight, hard_weight, sharpened_weight, sharpening, decoupled_weight, other_grades, "
            "standardised_weight, consistency_weight, consistency_threshold, feature_weight, label_weight, "
            "teacher_views, correct_prior, fellow_eye_share, least_confidence, kept_share",
        ),
        (
            '"distillation.soft_weight" = { kind = "choice", values = [1, -1] }',
            '"distillation.soft_weight": must be at least 0 (got -1)',
        ),
        (
            '"optim.batch_size" = { kind = "uniform", low = 2, high = 12 }',
            '"optim.batch_size": must be a whole number (got 5.819660113)',
        ),
        ('augment = { kind = "choice", values = [] }', "augment.values: must have at least 1 entry"),
        (
            'augment = { kind = "choices", values = ["none"] }',
            "augment.kind: must be one of 'uniform', 'loguniform', 'integer', 'loginteger', 'choice' (got 'choices')",
        ),
        (
            "augment = { values = ['none'] }",
            "augment.kind: must be one of 'uniform', 'loguniform', 'integer', 'loginteger', 'choice' (it is missing)",
        ),
        ('"optim.epochs" = { kind = "uniform", low = 1 }', '"optim.epochs".high: is required and missing'),
        (
            '"optim.epochs" = { kind = "choice", values = [1], lo = 1 }',
            '"optim.epochs".lo: no such key; allowed: when, kind, values',
        ),
        (
            '"optim.weight_decay" = { kind = "loguniform", low = 0.0, high = 1.0 }',
            '"optim.weight_decay": low must be below high, and above 0 for loguniform',
        ),
        (
            '"distillation" = { kind = "choice", values = [{soft_weight = 0.0, label_weight = 0.0}] }',
            f"distillation: {NOTHING_LEARNED}",
        ),
        (
            '"distillation" = { kind = "choice", values = [{soft_weight = 0.5}] }',
            "distillation: cannot be searched as a table; name the keys in it",
        ),
        ("keep = { kind = 'choice', values = ['worst'] }", "keep: must be one of 'best' or 'last' (got 'worst')"),
    ],
)
def test_a_bad_entry_of_the_search_space_is_named(errors: Errors, entry: str, line: str) -> None:
    assert errors(entry) == [f"job.toml: search.space.{line}"]


def test_what_all_trials_share_cannot_be_searched(errors: Errors) -> None:
    for key in SAME_FOR_ALL:
        (line,) = errors(f'"{key}" = {{ kind = "choice", values = [1, 2] }}')
        assert line.startswith(f"job.toml: {dotted(['search', 'space', key])}: cannot be searched: ")


def test_an_override_reaches_into_the_search_space(errors: Errors) -> None:
    key = 'search.space."distillation.temperature".low'
    assert errors(overrides={key: 0.5}) == []
    (line,) = errors(overrides={key: -1})
    assert line.startswith('command line: search.space."distillation.temperature": low must be below high')


def test_workers_that_ray_cannot_place_are_refused(errors: Errors) -> None:
    (line,) = errors("[cluster]\ncpus_per_worker = 0.0")
    assert line == "job.toml: cluster.cpus_per_worker: must be above 0 where gpus_per_worker is 0"
    assert errors("[cluster]\ncpus_per_worker = 0.0\ngpus_per_worker = 1.0") == []
    (line,) = errors("[cluster]\nnum_workers = 3\nmax_workers = 2")
    assert line == "job.toml: cluster.max_workers: must be at least num_workers (3) (got 2)"


def test_settings_that_contradict_each_other_are_refused(errors: Errors) -> None:
    assert errors("[index.splits]\nval_fraction = 0.6\ntest_fraction = 0.6") == [
        "job.toml: index.splits: val_fraction + test_fraction must leave patients for training (below 1)"
    ]
    assert errors("[index.budget]\nfraction = 0.1\ncount = 3") == [
        "job.toml: index.budget: exactly one of fraction and count must be set"
    ]
    assert errors("[distill.distillation]\nsoft_weight = 0\nlabel_weight = 0") == [
        f"job.toml: distill.distillation: {NOTHING_LEARNED}"
    ]
    assert errors(without="layout =", by='role = "external"\nlayout =') == [
        'job.toml: index.sources: at least one source must have role = "internal" to train on'
    ]
    assert errors("[prepare]\nside_px = 32") == [
        "job.toml: prepare.side_px: must be at least preprocess.side_px (224) (got 32)"
    ]
    assert errors("[evaluate]\ndatasets = ['other']") == [
        "job.toml: evaluate.datasets: 'other' is no source of index; allowed: main"
    ]
    assert errors(overrides={"search.grace_epochs": 11}) == [
        "command line: search.grace_epochs: must be at most epochs (10) (got 11)"
    ]


def test_setting_one_key_of_a_section_keeps_the_stages_own_defaults(errors: Errors, tmp_path: Path) -> None:
    assert errors("[pretrain.optim]\nlearning_rate = 1e-3\n[index.budget]\nseed = 3") == []
    settings = load("run", [tmp_path / "job.toml"])
    assert isinstance(settings, RunSettings)
    assert (settings.pretrain.optim.epochs, settings.pretrain.optim.batch_size) == (100, 256)
    assert (settings.index.budget.fraction, settings.index.budget.seed) == (0.02, 3)


def test_a_layout_has_its_own_keys_and_no_others(errors: Errors) -> None:
    sources = RUN[RUN.index("layout") : RUN.index("[search")]
    for layout, keys in (
        ("messidor2", "role, missing, allow_partial, layout, root, images, labels, pairs, exams, label_source"),
        ("aptos2019", "role, missing, allow_partial, layout, root, images, labels"),
        ("idrid", "role, missing, allow_partial, layout, root"),
        ("ddr", "role, missing, allow_partial, layout, root"),
        ("deepdrid", "role, missing, allow_partial, layout, root"),
    ):
        assert errors(without=sources, by=f'layout = "{layout}"\nroot = "{layout}"\n') == []
        assert errors(without=sources, by=f'layout = "{layout}"\n') == [
            "job.toml: index.sources.main.root: is required and missing"
        ]
        (line,) = errors(without=sources, by=f'layout = "{layout}"\nroot = "a"\ncolumns.image = "x"\n')
        assert line == f"job.toml: index.sources.main.columns: no such key; allowed: {keys}"
    (line,) = errors(without='layout = "eyepacs"', by='layout = "csv"\nallow_partial = true')
    assert line.startswith("job.toml: index.sources.main.allow_partial: no such key; allowed: role, missing, layout,")


def test_an_unknown_or_missing_layout_says_which_there_are(errors: Errors) -> None:
    layouts = "'eyepacs', 'messidor2', 'aptos2019', 'idrid', 'ddr', 'deepdrid', 'csv'"
    assert errors(without='"eyepacs"', by='"eyepac"') == [
        f"job.toml: index.sources.main.layout: must be one of {layouts} (got 'eyepac')"
    ]
    assert errors(without='layout = "eyepacs"\n') == [
        f"job.toml: index.sources.main.layout: must be one of {layouts} (it is missing)"
    ]


@pytest.mark.parametrize(
    ("added", "line"),
    [
        ('test_images = "t"', "sources.main: test_images and test_labels go together; set both or neither"),
        (
            'test_images = "t"\ntest_labels = "t.csv"\nsplits = "s.csv"',
            "sources.main: test_images makes the test part the test split; remove it or splits",
        ),
        ("allow_partial = 1", "sources.main.allow_partial: must be true or false (got 1)"),
        (
            "[index.splits]\nkind = 'random'",
            "splits.kind: must be one of 'official', 'patient' or 'voets' (got 'random')",
        ),
        ("[index.splits]\nkind = 'patient'\nfolds = 5", "splits: folds and fold go together; set both or neither"),
        ("[index.splits]\nfolds = 5\nfold = 0", "splits: folds are for kind = \"patient\" (got 'official')"),
        (
            "[index.splits]\nkind = 'patient'\nfolds = 5\nfold = 5",
            "splits: fold counts from 0 and must be below folds (5) (got 5)",
        ),
        (
            "[index.splits]\nkind = 'voets'",
            "sources.main: splits.kind = 'voets' pools EyePACS, train and test part; set test_images and test_labels",
        ),
        ("[index.budget]\nbalanced = 'yes'", "budget.balanced: must be true or false (got 'yes')"),
    ],
)
def test_sources_splits_and_budgets_that_cannot_be_are_refused(errors: Errors, added: str, line: str) -> None:
    assert errors(without="[search.space]", by=f"{added}\n[search.space]") == [f"job.toml: index.{line}"]


def test_folds_and_the_paper_s_split_can_be_chosen(errors: Errors) -> None:
    assert errors("[index.splits]\nkind = 'patient'\nfolds = 5\nfold = 4\nval_fraction = 0.9") == []
    added = 'test_images = "t"\ntest_labels = "t.csv"\n[index.splits]\nkind = "voets"\n[search'
    assert errors(without="[search", by=added) == []


def test_a_label_count_needs_no_fraction_unset(errors: Errors) -> None:
    assert errors("[index.budget]\ncount = 100") == []


def test_later_files_win_and_overrides_win_over_files(errors: Errors, tmp_path: Path) -> None:
    assert errors("[cluster]\nnum_workers = 2\nmax_failures = 7", overlay="[cluster]\nnum_workers = 3") == []
    files = [tmp_path / "job.toml", tmp_path / "site.toml"]
    settings = load("run", files)
    assert (settings.cluster.num_workers, settings.cluster.max_failures) == (3, 7)
    assert load("run", files, overrides={"cluster.num_workers": 4}).cluster.num_workers == 4


def test_overlays_alone_will_do_where_the_command_line_has_the_rest(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[cluster]\nnum_workers = 3")
    overrides = {"model": "m", "images": "i", "out": "scores.parquet"}
    settings = load("predict", [tmp_path / "site.toml"], overrides=overrides)
    assert (settings.job, settings.out, settings.cluster.num_workers) == ("predict", "scores.parquet", 3)  # type: ignore[attr-defined]


def test_any_file_says_itself_whose_it_is_and_overlays_alone_are_a_site(tmp_path: Path) -> None:
    job, site = tmp_path / "job.toml", tmp_path / "site.toml"
    job.write_text('job = "predict"\nmodel = "m"\nimages = "i"\nout = "o.parquet"\n')
    site.write_text("[cluster]\nnum_workers = 3\n")
    found = load_any([job, site], overrides={"seed": 7})
    assert isinstance(found, PredictSettings)
    assert (found.cluster.num_workers, found.seed) == (3, 7)
    alone = load_any([site])
    assert (type(alone).__name__, alone.out, alone.cluster.num_workers) == ("Job", "", 3)
    assert load_any([]).out == ""
    job.write_text('job = "train"')
    site.write_text("[cluster]\nnum_worker = 3\n")
    for file, line in ((job, f"{job}: job: 'train' is no verb"), (site, f"{site}: cluster.num_worker: no such key")):
        with pytest.raises(SettingsError) as told:
            load_any([file])
        assert str(told.value).startswith(line)


def test_check_tells_jobs_from_overlays(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"

    def checked(text: str) -> str:
        file.write_text(text)
        try:
            return check(file)
        except SettingsError as error:
            return str(error).replace(str(file), "x.toml")

    assert checked(RUN) == "run"
    assert checked("[cluster]\nnum_workers = 2") == "overlay"
    verbs = ", ".join(JOBS)
    assert checked('job = "train"') == f"x.toml: job: 'train' is no verb; allowed: {verbs}"
    assert checked('job = ["run"]') == f"x.toml: job: ['run'] is no verb; allowed: {verbs}"
    assert checked("seed = 1") == "x.toml: seed: a job file needs job = VERB; an overlay has only cluster, tracking"
    assert checked("") == "x.toml: job: a job file needs job = VERB; an overlay has only cluster, tracking"
    assert checked("[cluster]\nnum_workers = 0") == "x.toml: cluster.num_workers: must be above 0 (got 0)"


def test_no_line_speaks_pydantic(errors: Errors) -> None:
    lines = errors(
        "[pretrain.optim]\nepochs = 'x'\nname = 1\nzzz = 1\n[prepare]\nside_px = 3.5\n[tracking]\nuri = 3",
        without="low = 1.0",
        by="low = 'a'",
    )
    assert len(lines) == 6
    text = "\n".join(lines).lower()
    for word in ("pydantic", "http", "input should", "validation error", "type=", "dictionary", "valid "):
        assert word not in text


def test_scores_go_into_a_parquet_or_csv_file() -> None:
    with pytest.raises(SettingsError) as caught:
        load("predict", [], overrides={"model": "m", "images": "i", "out": "scores"})
    assert caught.value.lines == ("command line: out: must be a file that ends with .parquet or .csv (got 'scores')",)
