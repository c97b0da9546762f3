"""Everything that the dock NH2ST can do, in one table: its buttons, napari's menus and command palette, and shortcuts.

An action presses the same button that a person would: it can be done in the same states, and says the same. Its title,
menu and place are here; `napari.yaml` lists the same actions for napari, and docs/shortcuts.md for people
(`docs/scripts/actions.py` writes both).
"""

from __future__ import annotations

from dataclasses import dataclass

VISUALIZE, ANNOTATE, MEASURE, FILES = (
    "napari/layers/visualize",
    "napari/layers/annotate",
    "napari/layers/measure",
    "napari/file/io_utilities",
)


@dataclass(frozen=True)
class Action:
    """One thing that the dock can do.

    Attributes
    ----------
    name : str
        The end of napari's id: `napari-nh2st.<name>`.
    title : str
        For menus and the command palette.
    target : str
        What is pressed: a path of attributes from the dock to a button, a menu's entry or a function. It may begin
        with a fold's title and a colon: the fold is opened first.
    menu : str
        Napari's menu in which it stands.
    shortcut : str
        Keys, empty where it has none; napari itself uses none of them.
    """

    name: str
    title: str
    target: str
    menu: str = VISUALIZE
    shortcut: str = ""

    @property
    def id(self) -> str:
        """The id under which napari knows it."""
        return f"napari-nh2st.{self.name}"

    @property
    def fold(self) -> str:
        """The title of the fold in which it stands, empty where it stands in none."""
        return self.target.partition(":")[0] if ":" in self.target else ""

    @property
    def path(self) -> list[str]:
        """Attributes that lead from the dock, or from the fold's section, to what is pressed."""
        return [part for part in self.target.rpartition(":")[2].split(".") if part]


ACTIONS = (
    Action("start", "Predict", "job.button", shortcut="Ctrl+Shift+Return"),
    Action("view", "Choose what I see", "where.buttons.view", shortcut="Ctrl+Shift+V"),
    Action("whole", "Choose the whole slide", "where.buttons.whole", shortcut="Ctrl+Shift+W"),
    Action("gene", "Find a gene", "genes.focus", shortcut="Ctrl+Shift+G"),
    Action("next_gene", "Show the next gene of the list", "genes.next_gene", shortcut="Ctrl+Shift+Down"),
    Action("previous_gene", "Show the previous gene of the list", "genes.previous_gene", shortcut="Ctrl+Shift+Up"),
    Action("pin", "Pin this gene, or unpin it", "genes.pinned_row.pin", shortcut="Ctrl+Shift+B"),
    Action("fade", "Hide or show what lies on the tissue", "workspace.fade.toggle", shortcut="H"),
    Action("side_by_side", "Show slides side by side", "Several slides:button", shortcut="Ctrl+Shift+L"),
    Action("models_side_by_side", "Show models side by side", "Several models:side.button", shortcut="Ctrl+Shift+J"),
    Action("draw_regions", "Draw regions", "Regions:draw", ANNOTATE, "Ctrl+Shift+D"),
    Action("undo_regions", "Bring deleted regions back", "Regions:undo", ANNOTATE),
    Action("tissue", "Show and edit the tissue mask", "tissue.button", ANNOTATE, "Ctrl+Shift+M"),
    Action("measured", "Compare with a measurement", "Measured:", MEASURE),
    Action("compare_models", "Compare models on this slide", "Several models:agreement.button", MEASURE),
    Action("domains", "Find domains", "Regions:domains.button", MEASURE),
    Action("context", "See what the surroundings change", "Context:", MEASURE),
    Action("pick_tile", "Pick a tile and see its surroundings", "Context:pick", MEASURE, "Ctrl+Shift+I"),
    Action("check_tissue", "Check the tissue against the training", "Trust:tissue.button", MEASURE),
    Action("trust", "See how far to trust this gene", "Trust:", MEASURE),
    Action("several", "Show several genes, or a signature", "Several genes:"),
    Action("close_slide", "Close this slide", "slides.menu.ask_to_close", FILES),
    Action("clear_results", "Clear the results of this slide", "slides.menu.clear", FILES),
    Action("export", "Export the prediction", "result.export", FILES, "Ctrl+Shift+E"),
    Action("figure", "Save a figure for print", "result.ask_figure", FILES, "Ctrl+Shift+F"),
    Action("report", "Write a report of this slide", "result.ask_report", FILES),
    Action("copy_command", "Copy the command line", "result.command", FILES, "Ctrl+Shift+K"),
    Action("copy_python", "Copy as Python", "result.presenter.copy_python", FILES),
    Action("save_view", "Save this view", "result.ask_save_view", FILES),
    Action("load_view", "Load a view", "result.ask_load_view", FILES),
    Action("tour", "Take the tour", "take_tour", FILES),
    Action("check", "Check this installation", "result.ask_check", FILES),
)


def action(name: str) -> Action:
    """Return the action of a name."""
    return next(each for each in ACTIONS if each.name == name)
