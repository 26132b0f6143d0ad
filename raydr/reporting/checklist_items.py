"""The items of the two reporting checklists, in words of our own: what each asks for, and which facts answer it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its number in the checklist, what it asks for, the facts that answer it, and what no run can know."""

    number: str
    asks: str
    facts: tuple[str, ...] = ()
    """Names of `raydr.reporting.facts.facts`; those that a run does not know are left out."""
    unknown: str = ""
    """What the authors have to say themselves; what the item asks for where no fact answers it either."""


@dataclass(frozen=True, slots=True)
class Checklist:
    """A reporting guideline: its name, where it is published, and its items by section."""

    name: str
    source: str
    sections: tuple[tuple[str, tuple[Item, ...]], ...]


TRIPOD_AI = Checklist(
    "TRIPOD+AI",
    "BMJ 2024;385:e078378, doi:10.1136/bmj-2023-078378",
    (
        (
            "Title and abstract",
            (
                Item("1", "Title: study type, population, outcome", ("task",), "the population"),
                Item("2", "Abstract by TRIPOD+AI for Abstracts"),
            ),
        ),
        (
            "Introduction",
            (
                Item("3a", "Clinical context and rationale, earlier models"),
                Item("3b", "Target population, purpose in the care pathway, users", ("use",), "the care pathway"),
                Item("3c", "Known health inequalities between groups"),
                Item("4", "Objectives: development, evaluation or both", ("task", "kind")),
            ),
        ),
        (
            "Methods",
            (
                Item("5a", "Sources of the data, and how representative", ("data",), "whether they are representative"),
                Item("5b", "Dates of the data"),
                Item("6a", "Setting: kind, number and place of centres"),
                Item("6b", "Eligibility of participants"),
                Item("6c", "Treatments received"),
                Item("7", "Preparation and quality checks", ("preprocessing", "quality"), "how groups compare"),
                Item("8a", "Outcome: definition, time, rationale", ("outcome",), "when and how it was assessed"),
                Item("8b", "Outcome: who assessed it, and their training"),
                Item("8c", "Outcome: blinding of the assessment"),
                Item("9a", "Choice of predictors", ("input",)),
                Item("9b", "Predictors: definition and measurement", ("input",), "cameras and acquisition"),
                Item("9c", "Predictors that need judgement: who judged", ("input",)),
                Item("10", "Sample size and how it was arrived at", ("sample",), "why this size"),
                Item("11", "Missing data", ("missing",)),
                Item("12a", "Use and partition of the data", ("partition",)),
                Item("12b", "Handling of predictors", ("preprocessing",)),
                Item("12c", "Type of model, building steps, tuning, internal validation", ("model", "training")),
                Item("12d", "Heterogeneity across clusters", ("clusters",)),
                Item("12e", "Measures and plots of performance", ("metrics", "uncertainty")),
                Item("12f", "Updating of the model after evaluation", ("updating",)),
                Item("12g", "How predictions were computed", ("output",)),
                Item("13", "Class imbalance: methods and recalibration"),
                Item("14", "Fairness: approaches and rationale", ("subgroups",), "approaches and their rationale"),
                Item("15", "Output of the model, classification and thresholds", ("output", "thresholds")),
                Item("16", "Differences between development and evaluation data", ("grades",), "all other differences"),
                Item("17", "Ethical approval and consent"),
            ),
        ),
        (
            "Open science",
            (
                Item("18a", "Funding and role of funders"),
                Item("18b", "Conflicts of interest"),
                Item("18c", "Study protocol"),
                Item("18d", "Registration"),
                Item("18e", "Availability of the data"),
                Item("18f", "Availability of the code", ("software",), "where the code and the settings are published"),
                Item("19", "Involvement of patients and the public"),
            ),
        ),
        (
            "Results",
            (
                Item("20a", "Flow of participants, with and without the outcome", ("sample", "missing")),
                Item("20b", "Characteristics of participants", ("grades",), "age, sex, ethnicity and other conditions"),
                Item("20c", "Comparison of evaluation with development data", ("grades",), "other predictors"),
                Item("21", "Participants and outcomes in each analysis", ("budget", "sample")),
                Item("22", "The full model, so that others can use it", ("model", "digests"), "where it can be had"),
                Item("23a", "Performance with intervals, also of key subgroups", ("auc", "points", "subgroups")),
                Item("23b", "Heterogeneity of performance across clusters", ("clusters",)),
                Item("24", "Results of updating", ("updating",)),
            ),
        ),
        (
            "Discussion",
            (
                Item("25", "Interpretation, with fairness"),
                Item("26", "Limitations", ("limits",), "all that the data and the setting limit"),
                Item("27a", "Poor or missing input when the model is used", ("quality", "missing")),
                Item("27b", "Expertise that users need"),
                Item("27c", "Next steps of research"),
            ),
        ),
    ),
)
"""For prediction models with regression or machine learning: 27 items with their parts."""

CLAIM = Checklist(
    "CLAIM 2024",
    "doi:10.1148/ryai.240300",
    (
        (
            "Title, abstract, introduction",
            (
                Item("1", "Named as a study of AI, with the kind of technology", ("technology",)),
                Item("2", "Abstract: design, methods, results, conclusions"),
                Item("3", "Background, intended use and clinical role", ("use",), "background and clinical role"),
                Item("4", "Aims, objectives, hypotheses", ("task",), "hypotheses"),
            ),
        ),
        (
            "Methods: design and data",
            (
                Item("5", "Prospective or retrospective"),
                Item("6", "Goal of the study", ("task", "kind")),
                Item("7", "Data sources", ("data",)),
                Item("8", "Inclusion and exclusion criteria", ("missing",), "the criteria of each source"),
                Item("9", "Preprocessing of the data", ("preprocessing",)),
                Item("10", "Selection of subsets of the data", ("budget", "input")),
                Item("11", "De-identification"),
                Item("12", "Missing data", ("missing",)),
                Item("13", "Acquisition of the images"),
            ),
        ),
        (
            "Methods: reference standard",
            (
                Item("14", "Definition of the reference standard", ("outcome",)),
                Item("15", "Why this reference standard"),
                Item("16", "Source of the annotations"),
                Item("17", "Annotation of the test set"),
                Item("18", "Agreement between and within annotators"),
            ),
        ),
        (
            "Methods: partitions",
            (
                Item("19", "Assignment to partitions", ("partition",)),
                Item("20", "Level at which partitions are disjoint", ("disjoint", "audit")),
                Item("21", "Intended sample size", (), "the intended size; the sizes reached are in item 35"),
            ),
        ),
        (
            "Methods: model and training",
            (
                Item("22", "Description of the model", ("model", "input", "output")),
                Item("23", "Software", ("software",)),
                Item("24", "Initial parameters", ("start",)),
                Item("25", "Training", ("training",)),
                Item("26", "Selection of the final model", ("selection",)),
                Item("27", "Ensembles", ("ensemble",)),
            ),
        ),
        (
            "Methods: evaluation",
            (
                Item("28", "Metrics", ("metrics",)),
                Item("29", "Significance and uncertainty", ("uncertainty",)),
                Item("30", "Robustness or sensitivity analysis", ("clusters", "quality")),
                Item("31", "Explainability", ("heat_maps",)),
                Item("32", "Evaluation on internal data", ("internal",)),
                Item("33", "Testing on external data", ("external",)),
                Item("34", "Registration of the trial"),
            ),
        ),
        (
            "Results",
            (
                Item("35", "Patients or exams included and excluded", ("sample", "missing")),
                Item("36", "Characteristics of each partition", ("grades",), "age, sex and other conditions"),
                Item("37", "Performance with statistical uncertainty", ("auc",)),
                Item("38", "Diagnostic performance and its precision", ("points",)),
                Item("39", "Analysis of failures", ("failures",)),
            ),
        ),
        (
            "Discussion and other information",
            (
                Item("40", "Limitations", ("limits",), "all that the data and the setting limit"),
                Item("41", "Implications for practice", ("use",), "clinical role"),
                Item("42", "Full protocol or further technical details", ("settings",), "the study protocol"),
                Item("43", "Availability of software, model and data", ("digests",), "where they can be had"),
                Item("44", "Funding and role of funders"),
            ),
        ),
    ),
)
"""For artificial intelligence in medical imaging: 44 items."""
