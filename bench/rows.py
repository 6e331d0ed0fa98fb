"""What was measured: one row a figure, printed as a table and written as JSON."""
import json
import os
import statistics


class Rows:
    def __init__(self):
        self.rows = []

    def add(self, name, unit, values):
        """The median stands for the row; no row where nothing was measured."""
        values = [v for v in values if v is not None]
        if not values:
            return
        middle = statistics.median(values)
        self.rows.append({"name": name, "unit": unit, "value": _short(middle), "min": _short(min(values)),
                          "max": _short(max(values)), "n": len(values)})

    def write(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = path.with_suffix(".new")
        temp.write_text("[\n" + ",\n".join("  " + json.dumps(r) for r in self.rows) + "\n]\n")
        os.replace(temp, path)

    def table(self, targets):
        """`targets`: {name: the largest value that is wanted}."""
        lines = [f"{'':40} {'median':>10} {'min':>10} {'max':>10} {'n':>4}  unit      wanted"]
        for r in self.rows:
            wanted = targets.get(r["name"])
            verdict = "" if wanted is None else f"<= {wanted:g}" + ("" if r["value"] <= wanted else "  MISSED")
            lines.append(f"{r['name']:40} {r['value']:>10g} {r['min']:>10g} {r['max']:>10g} {r['n']:>4}  {r['unit']:9} {verdict}".rstrip())
        return "\n".join(lines)


def _short(value):
    return int(value) if float(value).is_integer() else round(float(value), 2)
