"""Lineage as a drawing: where things stand, what is left out of a long lane, and which lines are drawn."""

from modelyard.web.lanes import GAP, HEAD, HEIGHT, ROOM, WIDTH, Knot, Lane, lanes_of


def lane(title: str, *names: str) -> Lane:
    return Lane(title, tuple(Knot(id=f"{title}:{name}", label=name) for name in names))


def test_lanes_stand_side_by_side_and_lines_run_from_edge_to_edge() -> None:
    drawing = lanes_of("x", [lane("a", "one"), lane("b", "two", "three")], [("a:one", "b:three"), ("a:one", "nowhere")])
    assert [(one.label, one.x) for one in drawing.knots] == [("one", 0), ("two", WIDTH + ROOM), ("three", WIDTH + ROOM)]
    assert (drawing.width, drawing.knots[1].y) == (2 * WIDTH + ROOM, HEAD)
    assert drawing.knots[0].y == HEAD + (HEIGHT + GAP) / 2
    (line,) = drawing.lines
    assert line.startswith(f"M{WIDTH:.1f} {HEAD + (HEIGHT + GAP) / 2 + HEIGHT / 2:.1f}C")


def test_of_a_long_lane_some_are_drawn_and_lines_to_the_others_end_at_how_many_more() -> None:
    names = [f"m{n}" for n in range(30)]
    drawing = lanes_of("x", [lane("a", "one"), lane("b", *names)], [("a:one", f"b:{name}") for name in names], most=4, more="#all")
    assert [one.label for one in drawing.knots] == ["one", "m0", "m1", "m2", "27 more"]
    assert drawing.knots[-1].knot.href == "#all"
    assert len(drawing.lines) == 4


def test_a_long_name_keeps_its_ends_and_stands_whole_in_its_title() -> None:
    name = "s3://a-bucket-of-the-company/production/sessions"
    (knot,) = lanes_of("x", [lane("a", name)], []).knots
    assert len(knot.label) <= 25
    assert (knot.label[:5], knot.label[-8:], knot.title) == ("s3://", "sessions", name)
