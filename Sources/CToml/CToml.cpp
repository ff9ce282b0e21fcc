#include "CToml.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#include <toml++/toml.h>

#include <cstring>
#include <string>
#include <string_view>

namespace {

struct Walk {
    void *context;
    ctoml_visitor visit;

    void report(const std::string &path, const toml::node &node, const toml::source_position &at, bool is_element) const {
        ctoml_entry entry{};
        entry.path = path.data();
        entry.path_length = path.size();
        entry.is_element = is_element;
        entry.line = at.line;
        entry.column = at.column;
        if (const auto *text = node.as_string()) {
            entry.kind = CTOML_STRING;
            entry.text = text->get().data();
            entry.text_length = text->get().size();
        } else if (const auto *integer = node.as_integer()) {
            entry.kind = CTOML_INTEGER;
            entry.integer = integer->get();
        } else if (const auto *number = node.as_floating_point()) {
            entry.kind = CTOML_FLOAT;
            entry.number = number->get();
        } else if (const auto *boolean = node.as_boolean()) {
            entry.kind = CTOML_BOOLEAN;
            entry.integer = boolean->get() ? 1 : 0;
        } else if (node.is_array()) {
            entry.kind = CTOML_ARRAY;
        } else if (node.is_table()) {
            entry.kind = CTOML_TABLE;
        } else {
            entry.kind = CTOML_DATE;
        }
        visit(context, &entry);
        if (const auto *array = node.as_array()) {
            for (const auto &element : *array) {
                // What an array holds beside plain values is reported, not entered: no key of ours is of such a kind.
                ctoml_entry inner{};
                if (element.is_array() || element.is_table()) {
                    inner.path = path.data();
                    inner.path_length = path.size();
                    inner.is_element = 1;
                    inner.kind = element.is_array() ? CTOML_ARRAY : CTOML_TABLE;
                    inner.line = element.source().begin.line;
                    inner.column = element.source().begin.column;
                    visit(context, &inner);
                } else {
                    report(path, element, element.source().begin, true);
                }
            }
        } else if (const auto *table = node.as_table()) {
            walk(path, *table);
        }
    }

    void walk(const std::string &prefix, const toml::table &table) const {
        for (auto &&[key, node] : table) {
            const std::string_view name = key.str();
            report(
                prefix.empty() ? std::string(name) : prefix + "." + std::string(name), node, key.source().begin, false);
        }
    }
};

}  // namespace

int ctoml_read(
    const char *text, size_t length, void *context, ctoml_visitor visit, struct ctoml_failure *failure) {
    const toml::parse_result result = toml::parse(std::string_view(text, length));
    if (!result) {
        const toml::parse_error &error = result.error();
        const std::string_view message = error.description();
        const size_t count = message.size() < sizeof failure->message ? message.size() : sizeof failure->message - 1;
        std::memcpy(failure->message, message.data(), count);
        failure->message[count] = 0;
        failure->line = error.source().begin.line;
        failure->column = error.source().begin.column;
        return -1;
    }
    Walk{context, visit}.walk("", result.table());
    return 0;
}
