"""The drawing of flows: safe for any name, never overlapping, the same twice, and readable from left to right."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace.analysis import LocalSource, OperatorAnalysis
from embertrace.flow import FlowEdge, FlowGraph, FlowNode, layout, to_dot, to_mermaid, to_svg, visualize_operator_flow
from embertrace.flow.coordinates import isotonic
from embertrace.flow.dot import quote
from embertrace.flow.text import fit, text_width
from embertrace.markup import printable
from support.forests import Story

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "<script>alert(1)</script>",
    '"quo\'tes" & &amp; </text><a href="javascript:x">',
    "ctl\x00\x01\x1b[31m\x7f\x85\u202eevil\ud800\ufffe\U0001ffff",
    "x" * 5000,
    '\\N \\" trailing \\',
    "]]><![CDATA[",
    "two\nlines\r\n\u2028",
    " ",
)


def digits() -> FlowGraph:
    members = ("knn", "logreg", "tree")
    return FlowGraph(
        (
            FlowNode("pipeline", type="Pipeline", calls=360),
            FlowNode("panel", type="ensemble", stage="ensemble_1", calls=360, notes=("disagreement 0.25",)),
            *(FlowNode(name, type="Member", stage="members", calls=360, errors=2) for name in members),
            FlowNode("chooser", type="judge", stage="judge_1", calls=360, notes=("accuracy 0.96 of 360",)),
        ),
        (
            FlowEdge("pipeline", "panel", count=360),
            *(FlowEdge("panel", name, count=360) for name in members),
            FlowEdge("pipeline", "chooser", count=360),
            *(FlowEdge(name, "chooser", "link", count=360) for name in members),
        ),
    )


def hostile_graph() -> FlowGraph:
    nodes = tuple(FlowNode(text, text, text, text, 1, 1, (text,) * 20) for text in HOSTILE)
    edges = tuple(
        FlowEdge(HOSTILE[0], text, "link" if index % 2 else "call", label=text) for index, text in enumerate(HOSTILE)
    )
    return FlowGraph(nodes, edges)


def numbered(count: int, arcs: list[tuple[int, int]], links: list[tuple[int, int]] | None = None) -> FlowGraph:
    edges = [FlowEdge(f"n{source}", f"n{target}", count=1) for source, target in arcs]
    edges += [FlowEdge(f"n{source}", f"n{target}", "link", count=1) for source, target in links or []]
    return FlowGraph(tuple(FlowNode(f"n{index}") for index in range(count)), tuple(edges))


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


arcs_of = st.integers(1, 14).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=30),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=10),
    )
)


def test_digits_reads_from_left_to_right() -> None:
    plan = layout(digits())
    assert plan.ranks == {"pipeline": 0, "panel": 1, "knn": 2, "logreg": 2, "tree": 2, "chooser": 3}
    assert plan.boxes["pipeline"].x < plan.boxes["panel"].x < plan.boxes["knn"].x < plan.boxes["chooser"].x
    assert plan.boxes["knn"].x == plan.boxes["tree"].x
    shown = texts(to_svg(digits()))
    for expected in ("panel", "ensemble · ensemble_1", "360 calls", "2 errors", "disagreement 0.25", "360×"):
        assert expected in shown


def test_links_look_different_and_the_legend_names_only_what_is_there() -> None:
    svg = to_svg(digits())
    assert svg.count('class="edge link"') == 3 + 1  # and one in the legend
    assert ".embertrace-flow .edge.link { stroke-dasharray" in svg
    assert {"calls (how often)", "its result is used by", "ensemble", "judge", "operator"} <= set(texts(svg))
    assert "its result is used by" not in texts(to_svg(numbered(2, [(0, 1)])))


def test_both_themes_and_no_rule_beyond_the_drawing() -> None:
    svg = to_svg(digits())
    style = svg.split("<style>")[1].split("</style>")[0]
    assert "@media (prefers-color-scheme: dark)" in style
    selectors = re.findall(r"^([^{}@]+)\{", style, flags=re.MULTILINE)
    assert selectors
    for selector in selectors:
        assert all(part.strip().startswith(".embertrace-flow ") for part in selector.split(","))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_each_theme(dark: bool) -> None:
    style = to_svg(digits()).split("<style>")[1].split("</style>")[0]
    light_part, dark_part = style.split("@media")
    part = dark_part if dark else light_part
    colours = dict(re.findall(r"^\.embertrace-flow (\.[\w.-]+).* \{ fill: (#\w{6}) \}$", part, flags=re.MULTILINE))
    for behind in (".page", ".box"):
        for text in (".label", ".kind", ".errors"):
            low, high = sorted((luminance(colours[behind]), luminance(colours[text])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (behind, text)


def test_hostile_names_stay_text() -> None:
    svg = to_svg(hostile_graph())
    root = ElementTree.fromstring(svg)
    allowed = {"svg", "title", "desc", "style", "rect", "g", "text", "path", "polygon"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed
    names = {name for element in root.iter() for name in element.attrib}
    assert not names & {"href", "id", "onload", "onclick", "style"} and not any("}" in name for name in names)
    addresses = re.findall(r'(?:https?:|url\()[^"\s]*', svg)
    assert addresses == ["http://www.w3.org/2000/svg"]
    assert "<script>alert(1)</script>" in texts(svg)
    assert len(svg) < 60_000  # 5 KB names are cut wherever they appear
    svg.encode("utf-8")


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_name_gives_well_formed_documents(name: str, other: str) -> None:
    graph = FlowGraph((FlowNode("a", name, other, name, 1, 0, (other,)),), (FlowEdge("a", "a", label=name),))
    ElementTree.fromstring(to_svg(graph))
    to_dot(graph).encode("utf-8")


def test_empty_and_single() -> None:
    assert "No operator was called." in texts(to_svg(FlowGraph()))
    assert layout(FlowGraph()).boxes == {}
    assert to_dot(FlowGraph()).endswith("}\n") and "->" not in to_dot(FlowGraph())
    plan = layout(numbered(1, []))
    assert plan.boxes["n0"].x == 0 and plan.boxes["n0"].y == 0
    assert plan.ranks == {"n0": 0}


def test_loops_and_cycles() -> None:
    graph = numbered(3, [(0, 0), (0, 1), (1, 2), (2, 0), (1, 0)], [(0, 0)])
    plan = layout(graph)
    assert plan.ranks == {"n0": 0, "n1": 1, "n2": 2}
    assert len(plan.routes) == len(graph.edges)
    loop = plan.routes[0].curve
    assert min(y for _, y in loop) >= 0 and loop[0][1] == loop[-1][1] == plan.boxes["n0"].y
    back = plan.routes[3]
    assert back.curve[0][0] > back.curve[-1][0]
    ElementTree.fromstring(to_svg(graph))


def test_a_link_gives_way_to_calls() -> None:
    assert layout(numbered(2, [(0, 1)], [(1, 0)])).ranks == {"n0": 0, "n1": 1}


@given(arcs_of)
@settings(max_examples=80, deadline=None)
def test_nodes_never_overlap_and_edges_reach_their_ends(
    drawn: tuple[int, list[tuple[int, int]], list[tuple[int, int]]],
) -> None:
    count, arcs, links = drawn
    plan = layout(numbered(count, arcs, links))
    boxes = list(plan.boxes.values())
    assert not any(one.overlaps(two) for index, one in enumerate(boxes) for two in boxes[:index])
    assert all(box.x >= 0 and box.y >= 0 for box in boxes)
    assert all(box.x + box.width <= plan.width and box.y + box.height <= plan.height for box in boxes)
    for route in plan.routes:
        assert len(route.curve) % 3 == 1
        for (x, y), name in ((route.curve[0], route.edge.source), (route.curve[-1], route.edge.target)):
            box = plan.boxes[name]
            assert box.x <= x <= box.x + box.width
            assert box.y <= y <= box.y + box.height


@given(arcs_of)
@settings(max_examples=80, deadline=None)
def test_ranks_increase_along_calls_without_cycles(
    drawn: tuple[int, list[tuple[int, int]], list[tuple[int, int]]],
) -> None:
    count, arcs, links = drawn
    downward = [(min(arc), max(arc)) for arc in arcs if arc[0] != arc[1]]
    # Links may run anywhere: they must not turn a call around.
    ranks = layout(numbered(count, downward, links)).ranks
    assert all(ranks[f"n{source}"] < ranks[f"n{target}"] for source, target in downward)


def test_a_tree_has_no_crossing() -> None:
    graph = numbered(13, [(0, 1), (0, 2), (0, 3), *((1 + child % 3, 4 + child) for child in range(9))])
    plan = layout(graph)
    order = sorted(range(4, 13), key=lambda item: plan.boxes[f"n{item}"].y)
    parents = [1 + (item - 4) % 3 for item in order]
    assert parents == sorted(parents)


def test_five_hundred_nodes_complete() -> None:
    calls = [((index - 1) // 4, index) for index in range(1, 500)]
    links = [(index, (index * 7 + 11) % 500) for index in range(200, 500)]
    graph = numbered(500, calls, links)
    plan = layout(graph)
    assert len(plan.boxes) == 500 and len(plan.routes) == len(graph.edges)
    ElementTree.fromstring(to_svg(graph))


def test_a_long_chain_with_long_links_stays_bounded() -> None:
    graph = numbered(300, [(index, index + 1) for index in range(299)], [(0, index) for index in range(2, 300)])
    assert len(layout(graph).routes) == 299 + 298


def test_the_same_graph_gives_the_same_bytes() -> None:
    assert to_svg(digits()) == to_svg(digits())
    program = (
        "import hashlib, test_flow_drawing as t; from embertrace.flow import to_svg, to_dot;"
        "drawn = to_svg(t.digits()) + to_dot(t.digits()) + to_svg(t.hostile_graph());"
        "print(hashlib.sha256(drawn.encode()).hexdigest())"
    )
    answers = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join([__file__.rpartition("/")[0], *sys.path])}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        answers.add(done.stdout)
    assert len(answers) == 1


# DOT


def read_label(quoted: str) -> str:
    """What Graphviz shows for a quoted label: lexer, then escapes, then entities."""
    assert quoted[0] == quoted[-1] == '"' and re.fullmatch(r'(?:[^"\\]|\\.)*', quoted[1:-1])
    lexed = quoted[1:-1].replace('\\"', '"') if "\\\\" not in quoted else re.sub(r'(\\\\)|\\"', _lexed, quoted[1:-1])
    shown = re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), lexed)
    return shown.replace("&amp;", "&")


def _lexed(match: re.Match[str]) -> str:
    return match[1] or '"'


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]) | st.sampled_from('\\"&\nnNG')))
@settings(deadline=None)
def test_dot_labels_come_back_as_they_were(text: str) -> None:
    assert read_label(quote(text)) == text


def test_dot_holds_every_node_and_edge_and_no_address() -> None:
    dot = to_dot(digits())
    assert re.findall(r"^  (n\d) \[label=", dot, flags=re.MULTILINE) == [f"n{index}" for index in range(6)]
    assert dot.count("->") == 8 and dot.count("style=dashed") == 3
    hostile = to_dot(hostile_graph())
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', hostile)
    assert "<" not in bare and "script" not in bare
    assert not re.search(r"\b(URL|href|tooltip|target|image)\b", bare)
    assert set(re.findall(r"(\w+)=", bare)) <= {
        *("rankdir", "shape", "style", "fontname", "fontsize", "label", "labelloc"),
    }


# Text and numbers


def test_printable_leaves_nothing_invisible() -> None:
    assert printable("a\tb\nc") == "a b c"
    assert printable("\x00\x1b\x7f") == "\u2400\u241b\u2421"
    assert printable("\u202e\ud800\ufffe") == "\ufffd" * 3
    assert printable("é日👍") == "é日👍"


@given(st.text(max_size=200), st.sampled_from([40.0, 96.0, 216.0]))
@settings(deadline=None)
def test_fit_fits(text: str, width: float) -> None:
    assert text_width(fit(text, width, 11.0), 11.0) <= width


def test_fit_keeps_both_ends() -> None:
    short = fit("package.module." + "x" * 5000 + ".LastClass", 200.0, 13.0)
    assert short.startswith("package") and short.endswith("LastClass") and "…" in short
    assert fit("short", 200.0, 13.0) == "short"


def test_isotonic_is_the_nearest_rising_sequence() -> None:
    assert isotonic([], []) == []
    assert isotonic([1.0, 3.0, 2.0, 4.0], [1.0] * 4) == [1.0, 2.5, 2.5, 4.0]
    assert isotonic([3.0, 0.0], [1.0, 2.0]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FlowGraph((FlowNode("a"), FlowNode("a"))), "share the id 'a'"),
        (lambda: FlowGraph((FlowNode("a"),), (FlowEdge("a", "b"),)), "no node 'b'"),
        (lambda: FlowEdge("a", "b", "calls"), "kind 'calls'"),  # type: ignore[arg-type]
        (lambda: FlowEdge("a", "b", count=-1), "count -1"),
        (lambda: FlowNode("a", errors=-1), "-1 errors"),
    ],
)
def test_a_graph_that_cannot_be_is_refused(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make()  # type: ignore[operator]


def test_mermaid_names_nothing_after_users() -> None:
    text = to_mermaid(hostile_graph())
    lines = text.splitlines()
    assert lines[0] == "flowchart LR"
    quoted = re.compile(
        r'^  (n\d+\["[^"`<>\[\]{}|]*(<br/>[^"`<>\[\]{}|]*)*"\]|n\d+ (-->|-\.->)(\|"[^"`<>]*"\|)? n\d+)$'
    )
    inner = [line for line in lines[1:] if "subgraph" not in line and line != "  end"]
    assert [line for line in inner if not quoted.match(line)] == []
    assert len(inner) == len(HOSTILE) * 2 and "://" not in text and "script>" not in text


def test_mermaid_tells_calls_from_links() -> None:
    text = to_mermaid(digits())
    assert 'n0 -->|"360×"| n1' in text and 'n2 -.->|"360×"| n5' in text
    assert to_mermaid(FlowGraph()) == "flowchart LR\n"


@pytest.mark.parametrize("format", ["dot", "mermaid", "svg"])
def test_a_drawn_analysis_shows_disagreement_on_its_edges_and_one_trace_alone(format: str) -> None:
    story = Story()
    story.question("q1", "aab", "a", "a")
    story.question("q2", "aaa", "a", "a")
    drawn = visualize_operator_flow(OperatorAnalysis(LocalSource(story.forest())), format=format)
    assert "2× · differs 0.50" in drawn and "2× · differs 0.25" in drawn and "accuracy 0.500" in drawn
    trace = story.events[-1][2].trace_id
    assert trace is not None
    one = visualize_operator_flow(OperatorAnalysis(LocalSource(story.forest())), format=format, trace=trace.hex())
    assert "1× · differs 0.00" in one and "2×" not in one


def test_an_edge_shows_its_own_accuracy_where_an_operator_is_called_by_several() -> None:
    story = Story()
    for caller, answer in (("left", "a"), ("right", "b")):
        root = story.begin(caller, item={"key": caller, "truth": "a"})
        story.call("shared", answer, parent=root)
        story.end(root, answer)
    dot = visualize_operator_flow(OperatorAnalysis(LocalSource(story.forest())))
    assert "1× · right 1.00" in dot and "1× · right 0.00" in dot
