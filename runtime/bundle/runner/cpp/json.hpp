// Reads JSON (RFC 8259) into values; enough for a manifest of some megabytes.
#pragma once

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace bundle {

class Json {
  public:
    enum class Kind { null, boolean, number, string, array, object };

    static Json parse(const std::string &text) {
        Reader reader{text};
        Json found = reader.value(0);
        reader.skip();
        if (reader.at != text.size()) reader.fail("more text after the end");
        return found;
    }

    const Json &operator[](const std::string &key) const {
        need(Kind::object, "an object");
        const auto found = members_.find(key);
        if (found == members_.end()) throw std::runtime_error("it lacks '" + key + "'");
        return found->second;
    }
    bool has(const std::string &key) const { return kind_ == Kind::object && members_.count(key) > 0; }
    bool is_null() const { return kind_ == Kind::null; }
    const std::vector<Json> &items() const { return need(Kind::array, "a list"), items_; }
    const std::map<std::string, Json> &members() const { return need(Kind::object, "an object"), members_; }
    const std::string &text() const { return need(Kind::string, "text"), text_; }
    double number() const { return need(Kind::number, "a number"), number_; }
    int64_t whole() const { return static_cast<int64_t>(number()); }
    bool boolean() const { return need(Kind::boolean, "true or false"), number_ != 0; }

  private:
    struct Reader {
        const std::string &text;
        size_t at = 0;

        [[noreturn]] void fail(const std::string &what) const {
            throw std::runtime_error("byte " + std::to_string(at) + ": " + what);
        }
        void skip() {
            while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) ++at;
        }
        char peek() { return skip(), at < text.size() ? text[at] : '\0'; }
        void expect(char wanted) {
            if (peek() != wanted) fail(std::string("expected '") + wanted + "'");
            ++at;
        }
        bool take(const char *word) {
            const std::string wanted = word;
            if (text.compare(at, wanted.size(), wanted) != 0) return false;
            at += wanted.size();
            return true;
        }
        Json value(int depth) {
            if (depth > 64) fail("too deep");
            Json found;
            const char first = peek();
            if (first == '{') {
                found.kind_ = Kind::object;
                ++at;
                while (peek() != '}') {
                    if (!found.members_.empty()) expect(',');
                    if (peek() != '"') fail("expected a name");
                    std::string name = string();
                    expect(':');
                    found.members_[name] = value(depth + 1);
                }
                ++at;
            } else if (first == '[') {
                found.kind_ = Kind::array;
                ++at;
                while (peek() != ']') {
                    if (!found.items_.empty()) expect(',');
                    found.items_.push_back(value(depth + 1));
                }
                ++at;
            } else if (first == '"') {
                found.kind_ = Kind::string;
                found.text_ = string();
            } else if (take("true") || take("false")) {
                found.kind_ = Kind::boolean;
                found.number_ = first == 't';
            } else if (!take("null")) {
                char *end = nullptr;
                found.kind_ = Kind::number;
                found.number_ = std::strtod(text.c_str() + at, &end);
                if (end == text.c_str() + at) fail("expected a value");
                at = static_cast<size_t>(end - text.c_str());
            }
            return found;
        }
        std::string string() {
            std::string found;
            for (++at; at < text.size() && text[at] != '"'; ++at) {
                if (text[at] != '\\') {
                    found += text[at];
                    continue;
                }
                if (++at >= text.size()) break;
                static const std::string names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
                const size_t known = names.find(text[at]);
                if (known != std::string::npos) {
                    found += values[known];
                } else if (text[at] == 'u') {
                    append(found, code());
                } else {
                    fail("unknown escape");
                }
            }
            if (at >= text.size()) fail("text without an end");
            ++at;
            return found;
        }
        uint32_t code() {  // leaves `at` on the last digit
            if (at + 4 >= text.size()) fail("escape without an end");
            const uint32_t found = static_cast<uint32_t>(std::strtoul(text.substr(at + 1, 4).c_str(), nullptr, 16));
            at += 4;
            if (found < 0xD800 || found >= 0xDC00 || text.compare(at + 1, 2, "\\u") != 0) return found;
            at += 2;
            return 0x10000 + ((found - 0xD800) << 10) + (code() - 0xDC00);
        }
        static void append(std::string &text, uint32_t code) {
            if (code < 0x80) {
                text += static_cast<char>(code);
                return;
            }
            const int extra = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
            static const int marks[] = {0, 0xC0, 0xE0, 0xF0};
            text += static_cast<char>(marks[extra] | (code >> (6 * extra)));
            for (int i = extra - 1; i >= 0; --i) text += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
        }
    };

    void need(Kind kind, const char *what) const {
        if (kind_ != kind) throw std::runtime_error(std::string("expected ") + what);
    }

    Kind kind_ = Kind::null;
    double number_ = 0;
    std::string text_;
    std::vector<Json> items_;
    std::map<std::string, Json> members_;
};

}  // namespace bundle
