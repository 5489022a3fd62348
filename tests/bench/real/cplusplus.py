# SPDX-License-Identifier: MIT
"""Writes a C++ program of many templates, classes and functions."""

import sys

HEAD = """// SPDX-License-Identifier: MIT
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N> struct sum { static constexpr long value = N + sum<N - 1>::value; };
template <> struct sum<0> { static constexpr long value = 0; };
template <class... T> struct count { static constexpr int value = sizeof...(T); };
"""

PART = """
namespace part{n} {{
struct shape {{ virtual ~shape() = default; virtual double area() const = 0; }};
struct square : shape {{ double a = {n}; double area() const override {{ return a * a; }} }};
struct circle : shape {{ double r = {n}; double area() const override {{ return 3 * r * r; }} }};
template <class T, int N> struct table {{
    std::map<std::string, std::vector<T>> rows;
    std::unordered_map<int, std::tuple<T, int, std::string>> index;
    T add(const std::string &name, T value) {{
        auto &row = rows[name];
        row.push_back(value);
        index.emplace(N + (int)row.size(), std::make_tuple(value, N, name));
        return std::accumulate(row.begin(), row.end(), T{{}});
    }}
}};
using choice = std::variant<int, double, std::string, std::vector<int>, table<int, {n}>>;
std::string name(const choice &c) {{
    return std::visit([](const auto &x) -> std::string {{
        return std::to_string(sizeof(x));
    }}, c);
}}
long work(int x) {{
    table<long, {n}> t;
    std::vector<std::unique_ptr<shape>> shapes;
    std::function<long(long)> f = [x](long y) {{ return x * y + {n}; }};
    for (int i = 0; i < x; i++) {{
        if (i % 2) shapes.push_back(std::make_unique<square>());
        else shapes.push_back(std::make_unique<circle>());
        t.add(std::to_string(i), f(i));
    }}
    std::sort(shapes.begin(), shapes.end(), [](const auto &a, const auto &b) {{
        return a->area() < b->area();
    }});
    return (long)shapes.size() + t.rows.size() + sum<{deep}>::value
        + (long)name(choice{{x}}).size() + count<{types}>::value;
}}
}}
"""


def main():
    """The file named first, with as many parts as the second argument says."""
    parts = int(sys.argv[2])
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write(HEAD)
        for n in range(parts):
            file.write(PART.format(n=n, deep=50 + 20 * n,
                                   types=", ".join(["int", "char", "long"] * (1 + n % 9))))
        file.write("int main(int argc, char **) {\n    long total = 0;\n")
        for n in range(parts):
            file.write(f"    total += part{n}::work(argc + {n});\n")
        file.write("    return total & 127;\n}\n")


main()
