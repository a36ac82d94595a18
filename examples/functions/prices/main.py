"""What things cost, as JSON: /apple -> {"name": "apple", "cents": 120}."""

PRICES = {"apple": 120, "bread": 350, "cheese": 790}


def handler(request):
    name = request.path.strip("/")
    print("asked for", name or "everything")
    if name == "":
        return PRICES
    if name not in PRICES:
        return {"error": f"no price for {name}"}, 404
    return {"name": name, "cents": PRICES[name]}
